"""Problems with exact solutions (docs/physics.md section 2), solved with the product's own terms and meshes."""
