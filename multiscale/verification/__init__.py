"""Problems with exact solutions (PHYSICS.md section 2), solved with the product's own terms and meshes."""
